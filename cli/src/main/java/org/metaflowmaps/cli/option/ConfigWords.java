package org.metaflowmaps.cli.option;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.metaflowmaps.runtime.internal.Suggestions;
import picocli.CommandLine;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.ParameterException;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;
import tools.jackson.dataformat.yaml.YAMLMapper;

/**
 * Replaces {@code --config FILE} by the file's options, for commands with {@link ConfigOption}, and {@code draws=4} by
 * {@code --draws=4}. picocli then parses one command line, so that values and errors are the same from both.
 */
public final class ConfigWords {
    private static final YAMLMapper YAML = YAMLMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_READING_DUP_TREE_KEY)
            .build();
    private static final long MOST_BYTES = 1_000_000;

    /** Options about the command line itself. */
    private static final Set<String> OWN = Set.of(ConfigOption.NAME, "--help", "--version", "--verbose");

    private final CommandLine command;
    private final List<String> settings;
    /** The words of the command line after the command's name, without {@code --config}. */
    private final List<String> given = new ArrayList<>();

    private final Set<OptionSpec> mentioned = new LinkedHashSet<>();
    private final Set<OptionSpec> fromFile = new LinkedHashSet<>();
    private @Nullable Path file;

    private ConfigWords(CommandLine command, ConfigOption option) {
        this.command = command;
        this.settings = option.settings();
    }

    /**
     * The words to parse.
     *
     * @param words of the command line
     * @param file from which some of them are; empty for none
     * @param options those of the file
     */
    public record Expanded(List<String> words, Optional<Path> file, Set<OptionSpec> options) {
        /** Returns where an option's value is from, for messages: empty for the command line. */
        public String origin(CommandLine.Model.@Nullable ArgSpec argument) {
            return argument instanceof OptionSpec option && options.contains(option)
                    ? " (in " + file.orElseThrow() + ")"
                    : "";
        }
    }

    /**
     * Returns the words of a command line with those of its file.
     *
     * @throws ParameterException if the file cannot be read, or a word of it is unknown
     */
    public static Expanded expand(CommandLine root, String... arguments) {
        CommandLine command = root;
        int begin = 0;
        for (int i = 0; i < arguments.length; i++) {
            CommandLine inner = command.getSubcommands().get(arguments[i]);
            if (inner != null) {
                command = inner;
                begin = i + 1;
            } else if (!arguments[i].startsWith("-")) {
                break;
            }
        }
        Optional<ConfigOption> option = option(command.getCommandSpec());
        if (option.isEmpty()) {
            return new Expanded(List.of(arguments), Optional.empty(), Set.of());
        }
        ConfigWords words = new ConfigWords(command, option.get());
        int at = begin;
        while (at < arguments.length) {
            at += 1 + words.take(arguments, at);
        }
        List<String> all = new ArrayList<>(List.of(arguments).subList(0, begin));
        List<String> later = new ArrayList<>();
        if (words.file != null) {
            words.read(Objects.requireNonNull(words.file), all, later);
        }
        all.addAll(words.given);
        all.addAll(later);
        return new Expanded(all, Optional.ofNullable(words.file), words.fromFile);
    }

    private static Optional<ConfigOption> option(CommandSpec spec) {
        for (CommandSpec mixin : spec.mixins().values()) {
            Optional<ConfigOption> found =
                    mixin.userObject() instanceof ConfigOption option ? Optional.of(option) : option(mixin);
            if (found.isPresent()) {
                return found;
            }
        }
        return Optional.empty();
    }

    /** Takes a word of the command line; returns how many words after it are its values. */
    private int take(String[] arguments, int at) {
        String word = arguments[at];
        int equals = word.indexOf('=');
        OptionSpec option = command.getCommandSpec().findOption(equals < 0 ? word : word.substring(0, equals));
        boolean isOption = word.startsWith("-") && option != null;
        boolean hasNext =
                option != null && isOption && equals < 0 && option.arity().max() > 0 && at + 1 < arguments.length;
        if (option != null && isOption && option.longestName().equals(ConfigOption.NAME) && (hasNext || equals > 0)) {
            if (file != null) {
                throw refusal("--config was given twice: give one file");
            }
            file = Path.of(hasNext ? arguments[at + 1] : word.substring(equals + 1));
            return hasNext ? 1 : 0;
        }
        if (option != null && isOption) {
            mentioned.add(option);
            given.add(word);
            if (hasNext) {
                given.add(arguments[at + 1]);
            }
            return hasNext ? 1 : 0;
        }
        if (equals <= 0 || !isSetting(word, equals)) {
            given.add(word);
        }
        return 0;
    }

    /** Adds the option for {@code key=value}; returns false if it is a setting, a file, or anything else. */
    private boolean isSetting(String word, int equals) {
        String key = word.substring(0, equals);
        int dot = key.indexOf('.');
        OptionSpec option = find(dot < 0 ? key : key.substring(0, dot));
        if (option == null) {
            if (settings.isEmpty() && key.matches("[a-z][a-z_-]*") && !Files.exists(Path.of(word))) {
                throw refusal("unknown word '" + key + "'" + advice(key));
            }
            return false;
        }
        mentioned.add(option);
        String value = word.substring(equals + 1);
        if (option.arity().max() == 0) {
            given.addAll(flag("", key, option, value));
        } else {
            given.add(option.longestName() + "=" + (dot < 0 ? "" : key.substring(dot + 1) + "=") + value);
        }
        return true;
    }

    private List<String> flag(String source, String key, OptionSpec option, String value) {
        if (!value.equals("true") && !value.equals("false")) {
            throw refusal(source + key + " is " + value + ", expected true or false");
        }
        return value.equals("true") ? List.of(option.longestName()) : List.of();
    }

    private @Nullable OptionSpec find(String key) {
        OptionSpec option = command.getCommandSpec().findOption("--" + key.replace('_', '-'));
        return option == null || OWN.contains(option.longestName()) ? null : option;
    }

    private String advice(String key) {
        Set<String> known = new TreeSet<>(settings);
        command.getCommandSpec().options().stream()
                .filter(option -> !OWN.contains(option.longestName()))
                .flatMap(option -> List.of(option.names()).stream())
                .map(name -> name.replaceFirst("^-+", "").replace('-', '_'))
                .forEach(known::add);
        String near = Suggestions.didYouMean(key, known);
        return near.isEmpty() ? ": the words are " + String.join(", ", known) : near;
    }

    private void read(Path from, List<String> options, List<String> later) {
        for (Map.Entry<String, JsonNode> entry : tree(from).properties()) {
            String key = entry.getKey();
            OptionSpec option = find(key);
            if (option != null) {
                if (!mentioned.contains(option)) {
                    if (!fromFile.add(option)) {
                        throw refusal(from + ": '" + key + "' was given by another name before: remove one");
                    }
                    options.addAll(words(from, key, option, entry.getValue()));
                }
                continue;
            }
            flat(key, entry.getValue()).forEach((name, value) -> {
                if (!settings.contains(name)) {
                    throw refusal(from + ": unknown word '" + name + "'" + advice(name));
                }
                if (given.stream().noneMatch(word -> word.startsWith(name + "="))) {
                    later.add(name + "=" + (value.isString() ? value.toString() : text(from, name, value)));
                }
            });
        }
    }

    private static Map<String, JsonNode> flat(String key, JsonNode value) {
        Map<String, JsonNode> all = new LinkedHashMap<>();
        if (value instanceof ObjectNode inner) {
            inner.properties().forEach(entry -> all.put(key + "." + entry.getKey(), entry.getValue()));
        } else {
            all.put(key, value);
        }
        return all;
    }

    private List<String> words(Path from, String key, OptionSpec option, JsonNode value) {
        String name = option.longestName();
        if (option.arity().max() == 0) {
            return flag(from + ": ", key, option, value.isBoolean() ? value.asString() : value.toString());
        }
        List<String> parts = new ArrayList<>();
        if (value instanceof ObjectNode inner) {
            inner.properties().forEach(entry -> parts.add(entry.getKey() + "=" + text(from, key, entry.getValue())));
        } else if (value.isArray()) {
            value.forEach(each -> parts.add(text(from, key, each)));
        } else {
            parts.add(text(from, key, value));
        }
        return option.isMultiValue()
                ? parts.stream().map(part -> name + "=" + part).toList()
                : List.of(name + "=" + String.join(",", parts));
    }

    private String text(Path from, String key, JsonNode value) {
        if (value.isNull() || value.isContainer()) {
            throw refusal(from + ": " + key + " is " + value + ", expected a single value; leave a word out for its"
                    + " default");
        }
        return value.isFloatingPointNumber() && Double.isFinite(value.doubleValue())
                ? value.decimalValue().toPlainString()
                : value.asString();
    }

    private String text(Path from) throws IOException {
        // Names of built-in files have a slash on every system.
        String name = from.toString().replace('\\', '/');
        if (!Files.exists(from) && ConfigOption.BUILT_IN.contains(name)) {
            return Resource.text("config/" + name + ".yaml");
        }
        if (!Files.isRegularFile(from)) {
            throw refusal(from + (Files.exists(from) ? " is not a file" : " does not exist")
                    + ": give a YAML file of options as --config, or one of "
                    + String.join(", ", ConfigOption.BUILT_IN));
        }
        if (Files.size(from) > MOST_BYTES) {
            throw refusal(from + " has " + Files.size(from) + " bytes, expected a YAML file of options of at most "
                    + MOST_BYTES);
        }
        return Files.readString(from);
    }

    private ObjectNode tree(Path from) {
        try {
            JsonNode tree = YAML.readTree(text(from));
            if (tree instanceof ObjectNode words) {
                return words;
            }
            if (tree.isMissingNode() || tree.isNull()) {
                return YAML.createObjectNode();
            }
        } catch (CharacterCodingException e) {
            throw refusal(from + " is not UTF-8 text: give a YAML file of options");
        } catch (IOException e) {
            throw refusal(from + " cannot be read: " + e.getMessage());
        } catch (JacksonException e) {
            throw refusal(from + ": " + e.getOriginalMessage());
        }
        throw refusal(from + " is not a YAML mapping of options, such as draws: 4");
    }

    private ParameterException refusal(String message) {
        return new ParameterException(command, message);
    }
}
