client = OpenAI::Client.new(access_token: "sk-jnEG8ByYWUOUYOOS8L85QRTp9T4lGJ6HJwV1sRqMUQ5QNWiC")
