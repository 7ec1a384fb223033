"""Chat format: the token ids around a user's and an assistant's words, derived by rendering.

`derive(tokenizer)` gives a `ChatFormat`; everything after it speaks token ids.
"""
