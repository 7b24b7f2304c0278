import dev.langchain4j.model.openai.OpenAiChatModel

val model = OpenAiChatModel.builder()
    .apiKey(System.getenv("OPENAI_API_KEY"))
    .modelName("gpt-4o-mini")
    .build()
