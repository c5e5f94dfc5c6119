"""What docker-compose.yml needs beside itself: its secrets, its certificates and its databases."""
