"""Where rows live: files, datasets inside files, memory.

`protocol` is the page to read first; `formats` lists what can be opened.
"""
