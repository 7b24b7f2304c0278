variable "openai_api_key" {
  type      = string
  sensitive = true
}

locals {
  key = var.openai_api_key
}
