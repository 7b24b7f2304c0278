"""The programs that talk to models, each described by data plus a small adapter."""
