// fireworks.ai
val key = "fw_YtbedF3VkjtKgngC35HYCHkI"
