"""A peer of the Hugging Face Hub on loopback, for tests that drive the real client.

It speaks what `huggingface_hub` and `datasets` ask for when a dataset is published and loaded, in
both ways of sending large files (Xet and LFS), and breaks where a test tells it to:

    def test_a_lost_answer(hub_peer, transfer):
        repo = hub_peer.create_repo("tester/rows", files={"README.md": b"Hello"})
        hub_peer.faults.add("commit", "lost-504")
        publish(hub_peer.api())
        assert len(repo.commits) == 3
        assert len(hub_peer.asked("commit")) == 1

Endpoints are named in the `ROUTES` of each module, kinds of faults in `faults`.
"""
