"""The parts of `ask_docs.py`: plain Python that knows nothing of workflows.

`passages` reads Markdown and cuts it at its headings, `index` searches the passages, `extraction`
answers by quoting them, `model` asks a model about them, `terminal` shows what comes of it.
`ask_docs.py` joins them into a workflow.
"""
