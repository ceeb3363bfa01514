"""The subcommands of `lolly`; `lolly_tx.cli` lists them."""
