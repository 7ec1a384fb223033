"""Which labelled rows make up the dataset: the rules of the paper's filters, and the longest."""
