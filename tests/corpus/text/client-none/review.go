package review

import (
	"context"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// NewClient makes one.
func NewClient(key string) openai.Client {
	return openai.NewClient(
		option.WithAPIKey(key), // from the vault
	)
}
