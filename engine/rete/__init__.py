"""The compiled network, shared by all sessions, and the working memory of one session."""
