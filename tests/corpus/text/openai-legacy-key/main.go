package main

const token = "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"
