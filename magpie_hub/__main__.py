"""``python -m magpie_hub`` is the command."""

from magpie_hub.cli import main

if __name__ == "__main__":
    main()
