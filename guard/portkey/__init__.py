"""What the gateway says about itself and about the key: asked over HTTP, never on the hot path."""
