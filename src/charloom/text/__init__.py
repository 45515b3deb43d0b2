"""Text becomes ids: sources, documents, vocabulary, the encoded corpus and its splits."""
