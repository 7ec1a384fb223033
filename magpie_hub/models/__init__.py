"""Models: from a name in a recipe to files of a pinned revision.

A name is one of three things: a model in an installed Python package, a local folder, or a
repository on the Hugging Face Hub. `pin` finds out which and at what revision, with a few small
requests; `fetch_tokenizer` and `fetch` download the files. A failure that the user can repair is a
`ModelError` of one line.

    source = fetch(pin("HuggingFaceTB/SmolLM2-135M-Instruct"), home)
    tokenizer = load_tokenizer(source)
"""
