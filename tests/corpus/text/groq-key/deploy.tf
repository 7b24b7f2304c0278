resource "x" "y" {
  groq = "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"
}
