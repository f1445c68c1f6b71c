# What a program of Ruby does before it does anything: finds itself, its modules, its settings and its system.
require "json"
require "openssl"
require "set"
require "tmpdir"
require_relative "words/words"

puts __dir__ == Dir.pwd, WORD, File.realpath(__dir__) == __dir__
puts JSON.parse(File.read("../settings.json"))["mode"], RbConfig.ruby, $LOAD_PATH, Gem.path
begin
  require "not_installed"
rescue LoadError => error
  puts error.message
end
Dir.mktmpdir { |scratch| File.write("#{scratch}/a", "written"); puts Dir.children(scratch) }
puts `pwd`
