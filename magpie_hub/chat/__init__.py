"""Chat format: the token ids around the text of a user and an assistant, derived by rendering.

`derive(tokenizer)` returns a `ChatFormat`; from there on, everything is token ids.
"""
