"""An example of plugins for lolly_tx."""
