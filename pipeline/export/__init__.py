"""Records in other forms: CSV, JSON lines, Excel, labelled documents."""
