"""Questions about pictures to a vision-language model: at any OpenAI-compatible endpoint, or on this machine."""
