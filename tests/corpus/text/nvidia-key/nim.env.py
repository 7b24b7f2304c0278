import os
os.environ["X"] = "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"
