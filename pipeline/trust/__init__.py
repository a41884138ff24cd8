"""How far a record can be trusted: where its values stand on the page, how sure they are, which rules they break."""
