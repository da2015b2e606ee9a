"""The pure decision core: no clients, no clocks, no files, no network."""
