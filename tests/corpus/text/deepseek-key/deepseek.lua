-- deepseek
local key = "sk-fcc41d42f3870210850e64738efe7b64"
