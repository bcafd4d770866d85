package org.metaflowmaps.cli;

import static com.tngtech.archunit.base.DescribedPredicate.describe;
import static com.tngtech.archunit.base.DescribedPredicate.not;
import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static com.tngtech.archunit.library.Architectures.layeredArchitecture;
import static com.tngtech.archunit.library.dependencies.SlicesRuleDefinition.slices;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.base.DescribedPredicate;
import com.tngtech.archunit.core.domain.JavaClass;
import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.domain.JavaCodeUnit;
import com.tngtech.archunit.core.domain.JavaField;
import com.tngtech.archunit.core.domain.JavaMember;
import com.tngtech.archunit.core.domain.JavaModifier;
import com.tngtech.archunit.core.domain.JavaType;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.lang.syntax.elements.GivenClassesConjunction;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** Allowed imports. Each rule checks the classes of all modules of the command. */
class ArchitectureTest {
    private static final String ROOT = "org.metaflowmaps";
    private static final List<String> MODULES = List.of("bindings", "runtime", "models", "training", "steering", "cli");

    private static final JavaClasses CLASSES =
            new ClassFileImporter().withImportOption(PublicSurface::isMain).importPackages(ROOT);

    /** Checks that classes were found, because rules about no classes would pass. */
    @Test
    void theRulesSeeEveryModule() {
        for (String module : MODULES) {
            String name = ROOT + "." + module;
            long found = CLASSES.stream()
                    .filter(type ->
                            inPackage(type, name) && !type.getSimpleName().equals("package-info"))
                    .count();
            assertTrue(found >= 3, "only " + found + " classes of " + name + " were found");
        }
    }

    private static boolean inPackage(JavaClass type, String name) {
        return (type.getPackageName() + ".").startsWith(name + ".");
    }

    @Test
    void importsRunOneWay() {
        var layers = layeredArchitecture().consideringOnlyDependenciesInAnyPackage(ROOT + "..");
        for (String module : MODULES) {
            layers = layers.layer(module).definedBy(ROOT + "." + module + "..");
        }
        for (int i = 0; i < MODULES.size(); i++) {
            List<String> above = MODULES.subList(i + 1, MODULES.size());
            layers = above.isEmpty()
                    ? layers.whereLayer(MODULES.get(i)).mayNotBeAccessedByAnyLayer()
                    : layers.whereLayer(MODULES.get(i)).mayOnlyBeAccessedByLayers(above.toArray(new String[0]));
        }
        layers.ensureAllClassesAreContainedInArchitecture().check(CLASSES);
    }

    @Test
    void noPackagesFormACircle() {
        slices().matching(ROOT + ".(**)").should().beFreeOfCycles().check(CLASSES);
    }

    @Test
    void onlyTheRuntimeKnowsJavaCpp() {
        above("runtime")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.bytedeco..")
                .check(CLASSES);
    }

    /** Only one class shows JavaCPP's types to applications, so another binding would change only that class. */
    @Test
    void onlyOneClassHasJavaCppInItsSignatures() {
        Set<String> found = CLASSES.stream()
                .filter(ArchitectureTest::isVisible)
                .filter(type ->
                        signatures(type).anyMatch(used -> used.getPackageName().startsWith("org.bytedeco")))
                .map(JavaClass::getName)
                .collect(Collectors.toCollection(TreeSet::new));
        assertEquals(Set.of(ROOT + ".runtime.JavaCpp"), found);
    }

    /** Returns true for public and protected types inside types of the same visibility. */
    private static boolean isVisible(JavaClass type) {
        return isVisible(type.getModifiers())
                && type.getEnclosingClass().map(ArchitectureTest::isVisible).orElse(true);
    }

    private static boolean isVisible(Set<JavaModifier> modifiers) {
        return modifiers.contains(JavaModifier.PUBLIC) || modifiers.contains(JavaModifier.PROTECTED);
    }

    /**
     * Returns the types in the declarations of a type's supertypes and of its public and protected members, with type
     * arguments.
     */
    private static Stream<JavaClass> signatures(JavaClass type) {
        Stream<JavaType> supertypes = Stream.concat(type.getSuperclass().stream(), type.getInterfaces().stream());
        Stream<JavaType> members = type.getMembers().stream()
                .filter(member -> isVisible(member.getModifiers()))
                .flatMap(ArchitectureTest::declared);
        return Stream.concat(supertypes, members)
                .flatMap(used -> used.getAllInvolvedRawTypes().stream())
                .map(JavaClass::getBaseComponentType);
    }

    private static Stream<JavaType> declared(JavaMember member) {
        return member instanceof JavaCodeUnit code
                ? Stream.of(Stream.of(code.getReturnType()), code.getParameterTypes().stream(), thrown(code))
                        .flatMap(types -> types)
                : Stream.of(((JavaField) member).getType());
    }

    private static Stream<JavaType> thrown(JavaCodeUnit code) {
        return code.getThrowsClause().getTypes().stream().map(type -> type);
    }

    /** Modules above the runtime may use memory; only modules below bind functions and manage lifetimes. */
    @Test
    void onlyTheRuntimeBindsForeignFunctions() {
        DescribedPredicate<JavaClass> memory = describe(
                "memory to read and write",
                type -> type.getName().startsWith("java.lang.foreign.MemorySegment")
                        || type.getName().startsWith("java.lang.foreign.ValueLayout"));
        DescribedPredicate<JavaClass> foreign = describe(
                "foreign functions or arenas", type -> type.getPackageName().equals("java.lang.foreign"));
        above("runtime").should().dependOnClassesThat(foreign.and(not(memory))).check(CLASSES);
    }

    /** Applications on a server may run without the desktop module and use other image decoders. */
    @Test
    void loadingAndSamplingKnowNoPictures() {
        noClasses()
                .that()
                .resideInAnyPackage(below("training"))
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("java.awt..", "javax.imageio..", "javax.swing..")
                .check(CLASSES);
    }

    /** The judge of steered images must know nothing of how they were steered, and the other way round. */
    @Test
    void noRewardUsesTheJudge() {
        noClasses()
                .that()
                .resideInAnyPackage(Stream.of("reward", "value", "sampler", "particle", "finetune")
                        .map(part -> ROOT + ".steering." + part + "..")
                        .toArray(String[]::new))
                .or()
                .haveSimpleName("LoadedReward")
                .should()
                .dependOnClassesThat()
                .haveSimpleName("FashionJudge")
                .check(CLASSES);
    }

    @Test
    void onlyTheCommandTalksToTheTerminal() {
        for (String stream : List.of("out", "err")) {
            noClasses()
                    .that()
                    .resideOutsideOfPackage(ROOT + ".cli..")
                    .should()
                    .accessField(System.class, stream)
                    .check(CLASSES);
        }
    }

    private static GivenClassesConjunction above(String module) {
        return noClasses().that().resideOutsideOfPackages(below(MODULES.get(MODULES.indexOf(module) + 1)));
    }

    private static String[] below(String module) {
        return MODULES.subList(0, MODULES.indexOf(module)).stream()
                .map(name -> ROOT + "." + name + "..")
                .toArray(String[]::new);
    }
}
