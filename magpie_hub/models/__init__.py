"""Models: from a name in a recipe to files of a pinned revision.

A name is one of three things: a model that an installed Python package carries, a local folder,
or a repository on the Hugging Face Hub. `pin` says which and at what revision, for the price of
a few small requests; `fetch_tokenizer` and `fetch` bring the files. Whatever a user can do
about a failure is a `ModelError` of one line.

    source = fetch(pin("HuggingFaceTB/SmolLM2-135M-Instruct"), home)
    tokenizer = load_tokenizer(source)
"""
