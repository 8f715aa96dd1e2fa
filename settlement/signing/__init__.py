"""The reference signer: a process of its own that holds one key and signs only what its policy allows.

It knows neither Django nor a database nor a chain, so that it can stand on a machine where nothing else does. The
protocol is in docs/signer.md; `settlement.remote_signer` is the platform's side of it.
"""
