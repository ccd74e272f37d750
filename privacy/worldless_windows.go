package privacy

// worldless: the file system has no permission bits worth reading.
const worldless = true
