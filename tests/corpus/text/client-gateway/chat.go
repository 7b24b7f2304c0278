package chat

import openai "github.com/sashabaranov/go-openai"

func client(token, base string) *openai.Client {
	cfg := openai.DefaultConfig(token)
	cfg.BaseURL = base
	return openai.NewClientWithConfig(cfg)
}
