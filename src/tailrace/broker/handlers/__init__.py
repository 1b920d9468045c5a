"""One module an API, each with `handle(services, context, request)`: a plain function that answers at once or later.

`dispatch.SERVED` lists them. Handlers do not import each other; what two of them need lives a layer down.
"""
