package acme;

import com.anthropic.client.AnthropicClient;
import com.anthropic.client.okhttp.AnthropicOkHttpClient;

final class Review {
    private final AnthropicClient client = AnthropicOkHttpClient.builder()
            .fromEnv()
            .baseUrl(Config.gateway())
            .maxRetries(4)
            .build();
}
