"""What each way of customising a language model needs and costs, before anything is spent."""
