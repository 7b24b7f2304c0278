use async_openai::{config::OpenAIConfig, Client};

pub fn client(key: &str) -> Client<OpenAIConfig> {
    Client::with_config(
        OpenAIConfig::new()
            .with_api_key(key)
            .with_api_base(gateway()),
    )
}
