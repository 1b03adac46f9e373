"""Who may ask the service what: API keys, tokens, scopes, rates, and the log of who did."""
