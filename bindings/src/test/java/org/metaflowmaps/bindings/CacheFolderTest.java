package org.metaflowmaps.bindings;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CacheFolderTest {
    @TempDir
    private Path folder;

    private final Map<String, String> properties = new HashMap<>();
    private final Map<String, String> variables = new HashMap<>();

    @BeforeEach
    void anOrdinaryUser() throws IOException {
        properties.put(
                "user.home", Files.createDirectory(folder.resolve("home")).toString());
        properties.put(
                "java.io.tmpdir", Files.createDirectory(folder.resolve("tmp")).toString());
        properties.put("user.name", "someone");
    }

    private Path choose() throws IOException {
        return new CacheFolder(properties::get, variables::get).choose();
    }

    private String refusal() {
        return String.valueOf(assertThrows(IOException.class, this::choose).getMessage());
    }

    @Test
    void theUsersChoiceInTheOrderOfItsReach() throws IOException {
        assertEquals(folder.resolve("home/.cache/metaflowmaps"), choose());
        variables.put("XDG_CACHE_HOME", folder.resolve("xdg").toString());
        assertEquals(folder.resolve("xdg/metaflowmaps"), choose());
        variables.put("MFM_CACHE", folder.resolve("variable").toString());
        assertEquals(folder.resolve("variable"), choose());
        properties.put(
                "org.bytedeco.javacpp.cachedir", folder.resolve("javacpp").toString());
        assertEquals(folder.resolve("javacpp"), choose());
        properties.put("org.metaflowmaps.cache", folder.resolve("property").toString());
        assertEquals(folder.resolve("property"), choose());
        assertTrue(Files.isDirectory(folder.resolve("property")));
    }

    @Test
    void aChoiceThatCannotBeIsNamed() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "mine");
        variables.put("MFM_CACHE", file.toString());
        assertTrue(refusal().contains(file + ", named by MFM_CACHE, is a file"), refusal());
        variables.put("MFM_CACHE", file.resolve("below").toString());
        assertTrue(refusal().contains("named by MFM_CACHE, cannot be made"), refusal());
    }

    @Test
    void usersWithoutAHomeHaveAPrivateFolder() throws IOException {
        assumeTrue(CacheFolder.userId().isPresent(), "users have no numbers here");
        Path expected = folder.resolve("tmp")
                .resolve("metaflowmaps-" + CacheFolder.userId().get());
        for (String home : new String[] {
            "?", "/", "", "/nonexistent", folder.resolve("home/missing").toString()
        }) {
            properties.put("user.home", home);
            assertEquals(expected, choose(), home);
        }
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(expected)));
    }

    @Test
    void aFolderThatOthersMayWriteIsRefused() throws IOException {
        assumeTrue(CacheFolder.userId().isPresent(), "users have no numbers here");
        properties.put("user.home", "?");
        Path own = choose();
        Files.setPosixFilePermissions(own, PosixFilePermissions.fromString("rwxrwxrwx"));
        assertTrue(
                refusal().contains("other users may write") && refusal().contains("org.metaflowmaps.cache"), refusal());
        Files.setPosixFilePermissions(own, PosixFilePermissions.fromString("rwx------"));
        assertThrows(
                IOException.class,
                () -> CacheFolder.checkPrivate(own, CacheFolder.userId().get() + 1));
        Files.delete(own);
        Files.createSymbolicLink(own, folder.resolve("home"));
        assertTrue(refusal().contains("belongs to another user or is not a folder"), refusal());
    }
}
