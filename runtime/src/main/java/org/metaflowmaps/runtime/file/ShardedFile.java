package org.metaflowmaps.runtime.file;

import static org.metaflowmaps.runtime.internal.Texts.quote;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.metaflowmaps.runtime.Tensor;
import org.metaflowmaps.runtime.internal.Texts;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;

/**
 * A network in several files, the shards, with an index of the tensors' shards: {@code model.safetensors.index.json} or
 * {@code pytorch_model.bin.index.json}, as Accelerate and Transformers write them.
 */
public final class ShardedFile implements TensorFile {
    private static final String INDEX = ".index.json";
    private static final long MAX_INDEX = 100_000_000;
    private static final Pattern SHARD = Pattern.compile("(.+)-(\\d{5,})-of-(\\d{5,})(\\.[a-z]+)");
    private static final JsonFactory JSON = JsonFactory.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .build();

    private final Path index;
    private final List<TensorFile> shards = new ArrayList<>();
    private final Map<String, TensorFile> owners = new LinkedHashMap<>();
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> unreadable = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();

    /** Opens a shard. */
    interface Opener {
        TensorFile open(Path file) throws IOException;
    }

    private ShardedFile(Path index) {
        this.index = index;
    }

    /** Returns true if a file has the name of an index of shards. */
    static boolean isIndex(Path path) {
        return String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT).endsWith(INDEX);
    }

    /**
     * Opens all shards of an index.
     *
     * @param path the index, or a folder with one
     * @return owned by the caller
     * @throws IOException if the folder cannot be listed, or the index or a shard or tensor that it names is missing
     */
    static ShardedFile open(Path path) throws IOException {
        return open(path, TensorFile::openOne);
    }

    static ShardedFile open(Path path, Opener opener) throws IOException {
        Path index = Files.isDirectory(path) ? inFolder(path) : path;
        SafetensorsFile.requireFile(index, "an index of shards");
        ShardedFile opened = new ShardedFile(index);
        try {
            opened.read(opener);
            return opened;
        } catch (Throwable e) {
            try {
                opened.close();
            } catch (RuntimeException suppressed) {
                e.addSuppressed(suppressed);
            }
            throw e;
        }
    }

    private void read(Opener opener) throws IOException {
        Map<String, String> places = index(index, text(index));
        Map<String, TensorFile> byName = new LinkedHashMap<>();
        for (Map.Entry<String, String> place : places.entrySet()) {
            TensorFile shard = byName.get(place.getValue());
            if (shard == null) {
                shard = shard(place.getValue(), opener);
                shards.add(shard);
                byName.put(place.getValue(), shard);
                shard.metadata().forEach(metadata::putIfAbsent);
            }
            String name = place.getKey();
            Entry entry = shard.entries().get(name);
            String why = shard.unreadable().get(name);
            if (entry != null) {
                entries.put(name, entry);
                owners.put(name, shard);
            } else if (why != null) {
                unreadable.put(name, why);
            } else {
                throw new IOException(index + ": tensor " + quote(name) + " is not in " + place.getValue()
                        + ", as the index says: index and shards belong to different networks, fetch the"
                        + " folder again");
            }
        }
    }

    private TensorFile shard(String name, Opener opener) throws IOException {
        Path file;
        try {
            file = index.resolveSibling(name);
        } catch (InvalidPathException e) {
            throw new IOException(
                    index + ": the index names the shard " + quote(name) + ", which is not a file name", e);
        }
        if (name.isEmpty() || !Objects.equals(file.getParent(), index.getParent()) || isIndex(file)) {
            throw new IOException(
                    index + ": the index names the shard " + quote(name) + ", expected a file beside the index");
        }
        if (!Files.exists(file)) {
            throw new IOException(index + ": shard " + name + " is missing from the folder: fetch it too");
        }
        return opener.open(file);
    }

    private static String text(Path index) throws IOException {
        if (Files.size(index) > MAX_INDEX) {
            throw new IOException(
                    index + " has " + Files.size(index) + " bytes, expected an index of at most " + MAX_INDEX);
        }
        try {
            return Files.readString(index);
        } catch (CharacterCodingException e) {
            throw new IOException(index + " is not UTF-8 text, expected an index of shards in JSON", e);
        }
    }

    /** Returns the shards' names by tensor name. */
    static Map<String, String> index(Path index, String text) throws IOException {
        Map<String, String> places = new LinkedHashMap<>();
        boolean found = false;
        try (JsonParser json = JSON.createParser(ObjectReadContext.empty(), text)) {
            if (json.nextToken() == JsonToken.START_OBJECT) {
                while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                    boolean map = json.currentName().equals("weight_map");
                    JsonToken value = json.nextToken();
                    if (!map || value != JsonToken.START_OBJECT) {
                        json.skipChildren();
                        continue;
                    }
                    found = true;
                    while (json.nextToken() == JsonToken.PROPERTY_NAME) {
                        String name = json.currentName();
                        if (json.nextToken() != JsonToken.VALUE_STRING) {
                            throw new IOException(index + ": the index has no file name for tensor " + quote(name));
                        }
                        places.put(name, json.getString());
                    }
                }
            }
        } catch (JacksonException e) {
            throw new IOException(
                    index + " is not valid JSON: " + Texts.clean(e.getOriginalMessage(), 200)
                            + "; fetch the index again",
                    e);
        }
        if (!found) {
            throw new IOException(index + " has no 'weight_map', expected an index of shards as Accelerate writes it");
        }
        return places;
    }

    /**
     * Throws if a file is one of several shards, by its name or an index beside it.
     *
     * @throws IOException if it is a shard, or its folder cannot be listed
     */
    static void refuseShard(Path path) throws IOException {
        Path name = path.getFileName();
        if (name == null || !Files.isRegularFile(path)) {
            return;
        }
        Matcher shard = SHARD.matcher(name.toString());
        boolean numbered = shard.matches() && !shard.group(3).matches("0*1");
        Path folder = path.toAbsolutePath().getParent();
        for (Path index : folder == null ? List.<Path>of() : matching(folder, "*" + INDEX)) {
            Set<String> files = new HashSet<>();
            try {
                files.addAll(index(index, text(index)).values());
            } catch (IOException e) {
                // A damaged index names no shards: skip it.
                continue;
            }
            if (files.size() > 1 && files.contains(name.toString())) {
                throw new IOException(path + " is one of " + files.size() + " shards of a network: name their index, "
                        + path.resolveSibling(index.getFileName()) + ", or the folder");
            }
        }
        if (numbered) {
            throw new IOException(path + " is one of "
                    + Integer.parseInt(shard.group(3)
                            .substring(0, Math.min(9, shard.group(3).length())))
                    + " shards of a network, and the index that names them is missing: fetch the other shards and "
                    + shard.group(1) + shard.group(4) + INDEX + " into the same folder, and name the folder");
        }
    }

    /** Returns the index of a folder; throws a description of the folder if it has no index or several. */
    private static Path inFolder(Path folder) throws IOException {
        List<Path> indices = matching(folder, "*" + INDEX);
        if (indices.size() == 1) {
            return indices.getFirst();
        }
        if (indices.size() > 1) {
            throw new IOException(folder + " has " + indices.size()
                    + " indices of shards: name the one that is meant, such as " + indices.getFirst());
        }
        if (Files.exists(folder.resolve(".metadata"))
                || !matching(folder, "*.distcp").isEmpty()) {
            throw new IOException(folder + " is a distributed checkpoint of PyTorch; expected "
                    + FileKind.distributed(folder.toString()));
        }
        if (Files.exists(folder.resolve("zero_to_fp32.py"))) {
            throw new IOException(
                    folder + " is a checkpoint of DeepSpeed; expected one file: convert the folder with: python "
                            + folder.resolve("zero_to_fp32.py") + " " + folder + " FILE");
        }
        List<Path> files = new ArrayList<>(matching(folder, "*.safetensors"));
        for (String ending : List.of("pt", "pth", "ckpt", "bin")) {
            files.addAll(matching(folder, "*." + ending));
        }
        List<Path> inner = new ArrayList<>();
        for (Path below : matching(folder, "*")) {
            if (Files.isDirectory(below) && Files.exists(below.resolve(".metadata"))) {
                inner.add(below);
            }
        }
        throw new IOException(folder + " is a folder without an index of shards; expected a file"
                + (!files.isEmpty()
                        ? ": name the one that is meant, such as " + files.getFirst()
                        : !inner.isEmpty()
                                ? ": " + inner.getFirst() + " in it is a distributed checkpoint of PyTorch; make "
                                        + FileKind.distributed(inner.getFirst().toString())
                                : " of torch.save or safetensors"));
    }

    /**
     * Returns the files of a folder whose names match, sorted; none if the folder is missing.
     *
     * @throws IOException if the folder cannot be listed; the message says what to do
     */
    static List<Path> matching(Path folder, String pattern) throws IOException {
        List<Path> found = new ArrayList<>();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, pattern)) {
            files.forEach(found::add);
        } catch (DirectoryIteratorException e) {
            throw unlisted(folder, Objects.requireNonNull(e.getCause()));
        } catch (NoSuchFileException e) {
            return List.of();
        } catch (IOException e) {
            throw unlisted(folder, e);
        }
        Collections.sort(found);
        return found;
    }

    private static IOException unlisted(Path folder, IOException cause) {
        String why = cause.getClass().getSimpleName().replace("Exception", "");
        return new IOException(
                folder + " cannot be listed (" + why
                        + "), so an index of shards in it cannot be found: allow reading the "
                        + "folder (chmod u+rx), or copy the file to another folder",
                cause);
    }

    @Override
    public Map<String, ? extends Entry> entries() {
        return Collections.unmodifiableMap(entries);
    }

    @Override
    public Map<String, String> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    @Override
    public Map<String, String> unreadable() {
        return Collections.unmodifiableMap(unreadable);
    }

    @Override
    public Tensor view(String name) {
        TensorFile owner = owners.get(name);
        if (owner == null) {
            String why = unreadable.get(name);
            throw new IllegalArgumentException(index
                    + (why != null
                            ? ": tensor " + quote(name) + " cannot be read: " + why
                            : " has no tensor " + quote(name) + " among its " + entries.size()
                                    + ": entries() lists them"));
        }
        return owner.view(name);
    }

    /**
     * Closes all shards; closing twice is harmless.
     *
     * @throws IllegalStateException if a native call still uses the memory of a shard; the others are closed then
     */
    @Override
    public void close() {
        RuntimeException failure = null;
        for (TensorFile shard : shards) {
            try {
                shard.close();
            } catch (RuntimeException e) {
                if (failure == null) {
                    failure = e;
                } else {
                    failure.addSuppressed(e);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }
}
