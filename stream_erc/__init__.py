"""Real-time emotion recognition in conversations, one session per WebSocket."""
