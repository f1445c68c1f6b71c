exports.word = require("./words.json").word;
