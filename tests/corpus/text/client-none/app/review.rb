require "openai"

class Review
  def client
    @client ||= OpenAI::Client.new(
      access_token: Rails.application.credentials.dig(:openai, :key),
      request_timeout: 240
    )
  end
end
