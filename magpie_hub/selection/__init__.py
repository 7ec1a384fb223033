"""The selection: which labelled rows make up the dataset, by the paper's filters."""
