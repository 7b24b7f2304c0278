import dev.langchain4j.model.openai.OpenAiChatModel

val model = OpenAiChatModel.builder()
    .apiKey(System.getenv("PORTKEY_API_KEY"))
    .modelName("gpt-4o-mini")
    .baseUrl(gateway)
    .build()
