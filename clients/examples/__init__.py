"""Small agents that hear feelings; docs/voice_agents.md tells of them."""
