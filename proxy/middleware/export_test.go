package middleware

// RaceEnabled is for tests from outside.
const RaceEnabled = raceEnabled
