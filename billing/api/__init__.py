"""The HTTP API: the last step of the path, rows -> answers over the network.

`app` holds the routes, `problem` how errors are told, `server` runs them. What is read, and how fresh, is the matter of
`adapters.reads`.
"""
