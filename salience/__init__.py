"""What a shop's own Python code needs: `salience.events` sends what happens, `salience.decisions` asks what to show."""
