// Draws the pictures of a page: mermaid.min.js, which is loaded before, does it for each element of class mermaid.
mermaid.initialize({ startOnLoad: true });
