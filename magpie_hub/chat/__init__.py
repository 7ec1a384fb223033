"""Chat format: the token ids around a user's and an assistant's words, derived by rendering.

`derive(tokenizer)` gives a `ChatFormat`; everything after it speaks token ids.
"""

from __future__ import annotations

from magpie_hub.chat.derive import derive
from magpie_hub.chat.format import ChatFormat, ChatOptions, Segments

__all__ = ["ChatFormat", "ChatOptions", "Segments", "derive"]
