using OpenAI;
using OpenAI.Chat;
using System.ClientModel;

public class Review(IConfiguration configuration)
{
    private readonly ChatClient _chat = new ChatClient("gpt-4o", new ApiKeyCredential(configuration["OpenAI:Key"]));
}
