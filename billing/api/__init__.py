"""The HTTP API: the last step of the path, rows -> answers over the network.

`app` puts the routes together: `accounts`, `events`, `operations` and `insight`, and the page (`assets`, `page/`).
`access` decides who may see what, `admission` how much at once, `freshness` how old an answer may be, `problem` how
errors are told; `server` runs it all. What is read, and how fresh, is the matter of `adapters.reads`.
"""
